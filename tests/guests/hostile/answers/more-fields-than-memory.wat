;; Gives more header fields than its memory could hold.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: out of bounds of memory
;; form: lean
(func $attack)
(func $answer (result i32)
    (i32.store16 (i32.const 4) (i32.const 200))
    (i32.store (i32.const 12) (i32.const 0x0fffffff))
    (i32.const 0))
