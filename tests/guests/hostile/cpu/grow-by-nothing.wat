;; Asks for no more memory, without pause: each time the host is asked.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (loop $on (drop (memory.grow (i32.const 0))) (br $on)))
