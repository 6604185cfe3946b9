;; Waits for things that are none: a list of handles made up.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack
    (memory.fill (i32.const 1024) (i32.const 9) (i32.const 4000))
    (call $poll (i32.const 1024) (i32.const 1000) (i32.const 64)))
