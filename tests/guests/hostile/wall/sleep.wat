;; Sleeps for five centuries.
;; promised: 504 wall
;; counted: wall
;; logged: it was not done by its deadline
;; limits: wall = "200ms"
(func $attack (call $block (call $subscribe (i64.const -1))))
