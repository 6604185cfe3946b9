;; Fills memory beyond its end.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (memory.fill (i32.const 1024) (i32.const 1) (i32.const -2000)))
