;; Has the host write a result to where it has no memory.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack
    (i32.store (i32.const 1024) (call $subscribe (i64.const 0)))
    (call $poll (i32.const 1024) (i32.const 1) (i32.const 0x7ffffff0)))
