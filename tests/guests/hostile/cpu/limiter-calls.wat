;; Takes from a rate limit without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: lean
;; grants: limiter = true
(data (i32.const 1024) "key")
(func $attack
    (loop $on
        (call $take (i32.const 1024) (i32.const 3) (i32.const 5) (i32.const 1000) (i32.const 1) (i32.const 64))
        (br $on)))
