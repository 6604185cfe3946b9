;; Waits for one of a thousand timers that never ring.
;; promised: 504 wall
;; counted: wall
;; logged: it was not done by its deadline
;; limits: wall = "200ms", cpu = "1s"
(func $attack (local $at i32)
    (local.set $at (i32.const 1024))
    (loop $on
        (i32.store (local.get $at) (call $subscribe (i64.const -1)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br_if $on (i32.lt_u (local.get $at) (i32.const 5024))))
    (call $poll (i32.const 1024) (i32.const 1000) (i32.const 64)))
