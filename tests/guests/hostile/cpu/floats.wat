;; Divides and takes roots of numbers next to nothing, the slowest there are.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (local $value f64)
    (loop $on
        (local.set $value (f64.sqrt (f64.div (f64.const 0x1p-1060) (f64.add (local.get $value) (f64.const 3)))))
        (br $on)))
