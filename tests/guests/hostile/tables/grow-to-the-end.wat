;; Grows a table until it gets no more, and has got no more than 100,000 elements.
;; promised: 200
;; counted: ok
;; limits: cpu = "2s"
(table $table 0 funcref)
(func $attack
    (loop $on (br_if $on (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
    (if (i32.gt_u (table.size $table) (i32.const 100000)) (then (global.set $status (i32.const 299)))))
