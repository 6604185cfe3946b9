;; Never ends in the start function, before it is called at all.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $begin (loop $on (br $on)))
(start $begin)
(func $attack)
