;; Asks what time it is, without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (loop $on (drop (call $now)) (br $on)))
