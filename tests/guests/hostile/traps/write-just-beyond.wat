;; Writes the last byte of its memory and the first behind it.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (i32.store16 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const -1)))
