;; Takes a page of memory after the other until it gets no more, and has got no more than it may.
;; promised: 200
;; counted: ok
;; limits: cpu = "2s"
(func $attack
    (loop $on (br_if $on (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (if (i32.gt_u (memory.size) (i32.const 256)) (then (global.set $status (i32.const 299)))))
