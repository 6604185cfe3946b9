;; Uses a handle that it was never given.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (call $block (i32.const 1234)))
