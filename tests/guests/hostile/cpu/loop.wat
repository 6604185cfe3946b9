;; Computes, and never ends.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (loop $on (br $on)))
