;; Returns an error whose text is not UTF-8.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $attack)
(func $answer (result i32)
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store (i32.const 4) (i32.const 40))
    (i32.store (i32.const 8) (i32.const 1))
    (i32.store8 (i32.const 40) (i32.const 0xff))
    (i32.const 0))
