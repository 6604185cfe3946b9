;; Says that its answer is where it has no memory.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $attack)
(func $answer (result i32) (i32.const 0x7fffff00))
