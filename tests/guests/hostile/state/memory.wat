;; Writes over all of its memory, and answers 299 if it finds what an earlier call wrote.
;; promised: 200
;; counted: ok
;; calls: 20
;; limits: cpu = "1s"
(func $attack (local $at i32)
    (drop (memory.grow (i32.const 100)))
    (local.set $at (i32.const 0x40000))
    (loop $on
        (if (i32.load (local.get $at)) (then (global.set $status (i32.const 299))))
        (i32.store (local.get $at) (i32.const 0x5ec4e7))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br_if $on (i32.lt_u (local.get $at) (i32.const 0x640000)))))
