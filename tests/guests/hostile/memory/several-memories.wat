;; Grows two memories in turns: together they get no more than one would.
;; promised: 200
;; counted: ok
;; limits: cpu = "2s"
(memory $second 1)
(func $attack
    (loop $on
        (br_if $on (i32.or
            (i32.ne (memory.grow (i32.const 1)) (i32.const -1))
            (i32.ne (memory.grow $second (i32.const 1)) (i32.const -1)))))
    (if (i32.gt_u (i32.add (memory.size) (memory.size $second)) (i32.const 256))
        (then (global.set $status (i32.const 299)))))
