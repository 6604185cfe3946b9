;; Divides 64-bit integers without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (local $value i64)
    (loop $on
        (local.set $value
            (i64.rem_u (i64.const 0x7edcba9876543211) (i64.or (i64.div_u (i64.const -3) (i64.or (local.get $value) (i64.const 3))) (i64.const 1))))
        (br $on)))
