;; Returns its answer, and never ends in the function that is to free it.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: lean
(func $post (loop $on (br $on)))
(func $attack)
