;; Sends a whole answer, and never ends in the function that is called after it.
;; promised: 200
;; counted: cpu
;; logged: a plugin failed after its answer was whole
;; limits: stream = "20s"
;; form: http
(func $post (loop $on (br $on)))
(func $attack)
