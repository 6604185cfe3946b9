;; Waits for one of no things at all.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (call $poll (i32.const 1024) (i32.const 0) (i32.const 64)))
