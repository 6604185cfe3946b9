;; Gives a result that is neither an answer nor an error.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $attack)
(func $answer (result i32) (i32.store8 (i32.const 0) (i32.const 7)) (i32.const 0))
