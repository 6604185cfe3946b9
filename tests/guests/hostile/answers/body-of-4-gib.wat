;; Gives a body of four gigabytes that it does not have.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: out of bounds of memory
;; form: lean
(func $attack)
(func $answer (result i32)
    (i32.store16 (i32.const 4) (i32.const 200))
    (i32.store (i32.const 20) (i32.const -1))
    (i32.const 0))
