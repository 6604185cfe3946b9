;; Uses header fields that it has given away.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: http
(func $attack (local $fields i32)
    (local.set $fields (call $fields))
    (drop (call $response (local.get $fields)))
    (drop (call $response (local.get $fields))))
