;; Has the host write a result to an address that is not aligned for it.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack
    (i32.store (i32.const 1024) (call $subscribe (i64.const 0)))
    (call $poll (i32.const 1024) (i32.const 1) (i32.const 65)))
