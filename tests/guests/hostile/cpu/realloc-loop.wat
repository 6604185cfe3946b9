;; Never ends when it is asked for room for its request.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: lean
(func $realloc (param i32 i32 i32 i32) (result i32) (loop $on (br $on)) (unreachable))
(func $attack)
