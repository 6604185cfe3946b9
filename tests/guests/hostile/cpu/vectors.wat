;; Multiplies vectors without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (local $value v128)
    (loop $on
        (local.set $value (i32x4.mul (i32x4.add (local.get $value) (v128.const i32x4 1 2 3 4)) (local.get $value)))
        (br $on)))
