;; Makes a host resource and drops it, without pause.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (loop $on (call $drop-pollable (call $subscribe (i64.const -1))) (br $on)))
