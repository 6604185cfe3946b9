;; Passes a list that begins in its memory and ends far beyond it.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (call $poll (i32.const 1024) (i32.const 0x10000000) (i32.const 64)))
