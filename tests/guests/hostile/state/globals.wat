;; Writes to a global, and answers 299 if it finds what an earlier call wrote.
;; promised: 200
;; counted: ok
;; calls: 20
(global $seen (mut i32) (i32.const 0))
(func $attack
    (if (global.get $seen) (then (global.set $status (i32.const 299))))
    (global.set $seen (i32.const 1)))
