;; Sleeps a millisecond, over and over: it hardly computes, and never ends.
;; promised: 504 wall
;; counted: wall
;; logged: it was not done by its deadline
;; limits: wall = "200ms", cpu = "1s"
(func $attack (local $pollable i32)
    (loop $on
        (local.set $pollable (call $subscribe (i64.const 1000000)))
        (call $block (local.get $pollable))
        (call $drop-pollable (local.get $pollable))
        (br $on)))
