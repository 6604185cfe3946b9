;; Says that its answer is at an odd address.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $attack)
(func $answer (result i32) (i32.const 1))
