;; Sleeps for five centuries in its start function.
;; promised: 504 wall
;; counted: wall
;; logged: it was not done by its deadline
;; limits: wall = "200ms"
(func $begin (call $block (call $subscribe (i64.const -1))))
(start $begin)
(func $attack)
