;; Asks for more memory than it may have, without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (loop $on (drop (memory.grow (i32.const 60000))) (br $on)))
