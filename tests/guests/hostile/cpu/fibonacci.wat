;; Calls itself twice in each call: the stack stays shallow, and it takes centuries.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $of (param i64) (result i64)
    (if (result i64) (i64.lt_u (local.get 0) (i64.const 2))
        (then (local.get 0))
        (else (i64.add
            (call $of (i64.sub (local.get 0) (i64.const 1)))
            (call $of (i64.sub (local.get 0) (i64.const 2)))))))
(func $attack (drop (call $of (i64.const 90))))
