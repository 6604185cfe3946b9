;; Waits for what is there already, without pause: each wait gives the thread back for nothing.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $attack (local $pollable i32)
    (local.set $pollable (call $subscribe (i64.const 0)))
    (loop $on (call $block (local.get $pollable)) (br $on)))
