;; Takes from a rate limit under a key of its own each time, so that the host has ever more to remember.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: lean
;; grants: limiter = true
(func $attack (local $key i64)
    (loop $on
        (i64.store (i32.const 1024) (i64.or (i64.and (local.get $key) (i64.const 0x0f0f0f0f0f0f0f0f)) (i64.const 0x4040404040404040)))
        (call $take (i32.const 1024) (i32.const 8) (i32.const 5) (i32.const 86400000) (i32.const 1) (i32.const 64))
        (local.set $key (i64.add (i64.mul (local.get $key) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
        (br $on)))
