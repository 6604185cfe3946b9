;; Gives a body that begins in its memory and ends outside it.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $attack)
(func $answer (result i32)
    (i32.store16 (i32.const 4) (i32.const 200))
    (i32.store (i32.const 16) (i32.const 262000))
    (i32.store (i32.const 20) (i32.const 1000))
    (i32.const 0))
