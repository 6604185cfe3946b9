;; Traps in the function that is to free its answer.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: lean
(func $post (unreachable))
(func $attack)
