;; Asks for a table of four billion elements, and does with what it has.
;; promised: 200
;; counted: ok
(table $table 0 funcref)
(func $attack
    (if (i32.ne (table.grow $table (ref.null func) (i32.const -2)) (i32.const -1))
        (then (global.set $status (i32.const 299)))))
