;; Takes all the memory that it gets, and writes to every page of it, so that all of it is really there.
;; promised: 200
;; counted: ok
;; limits: cpu = "2s"
;; calls: 8
(func $attack (local $at i32)
    (loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (local.set $at (i32.const 65536))
    (loop $on
        (i32.store (local.get $at) (i32.const 0x5ec4e7))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (br_if $on (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))))
