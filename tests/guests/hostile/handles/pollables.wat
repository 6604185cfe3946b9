;; Makes timers and keeps them all.
;; promised: 500 plugin-failed
;; counted: handles
;; logged: it trapped
;; limits: cpu = "2s"
(func $attack (loop $on (drop (call $subscribe (i64.const -1))) (br $on)))
