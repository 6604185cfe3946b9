;; Drops a handle twice.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
(func $attack (local $pollable i32)
    (local.set $pollable (call $subscribe (i64.const 0)))
    (call $drop-pollable (local.get $pollable))
    (call $drop-pollable (local.get $pollable)))
