;; Sleeps for a while, and then computes for ever: the sleep is no part of its CPU, and does not excuse it.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack
    (call $block (call $subscribe (i64.const 100000000)))
    (loop $on (br $on)))
