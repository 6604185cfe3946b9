//! Media types (RFC 9110 §8.3): what a file is, by the extension of its name.

/// A file of this type is bytes that say nothing of themselves.
const UNKNOWN: &str = "application/octet-stream";

/// Extensions in order, and their types. Text is UTF-8.
const TYPES: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avif", "image/avif"),
    ("bin", UNKNOWN),
    ("bmp", "image/bmp"),
    ("br", "application/x-brotli"),
    ("bz2", "application/x-bzip2"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The types that hold compressed bytes already, beside `audio/` and `video/`.
const COMPRESSED: &[&str] = &[
    "application/epub+zip",
    "application/gzip",
    "application/x-7z-compressed",
    "application/x-brotli",
    "application/x-bzip2",
    "application/zip",
    "application/zstd",
    "font/woff",
    "font/woff2",
    "image/apng",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/jxl",
    "image/png",
    "image/webp",
];

/// The type of a file of this name: by `own` types, which go before, or by those that the web uses.
pub(crate) fn of<'a>(name: &str, own: &[(&str, &'a str)]) -> &'a str {
    let Some((_, extension)) = name.rsplit_once('.') else { return UNKNOWN };
    if let Some((_, media_type)) = own.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)) {
        return media_type;
    }
    let extension = extension.to_ascii_lowercase();
    let found = TYPES.binary_search_by_key(&extension.as_str(), |(known, _)| known).ok();
    found.and_then(|index| TYPES.get(index)).map_or(UNKNOWN, |(_, media_type)| media_type)
}

/// True if nobody compresses such a file once more: none is looked for beside it.
pub(crate) fn is_compressed(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim_ascii_end();
    media_type.starts_with("audio/") || media_type.starts_with("video/") || COMPRESSED.contains(&media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_so_that_all_of_it_is_found() {
        assert!(TYPES.is_sorted_by(|(one, _), (next, _)| one < next));
        for (extension, media_type) in TYPES {
            assert_eq!(of(&format!("a.{extension}"), &[]), *media_type);
        }
    }

    #[test]
    fn text_states_its_charset() {
        for (extension, media_type) in TYPES {
            let is_stated = media_type.ends_with("; charset=utf-8");
            assert_eq!(media_type.starts_with("text/"), is_stated, "{extension}");
        }
    }

    #[test]
    fn the_last_extension_counts_and_its_letters_do_not() {
        let own = [("foo", "text/x-foo"), ("js", "application/javascript")];
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("A.HTML", "text/html; charset=utf-8"),
            ("jquery.min.css", "text/css; charset=utf-8"),
            ("a.tar.gz", "application/gzip"),
            ("LICENSE", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
            ("a.FOO", "text/x-foo"),
            ("a.js", "application/javascript"),
        ] {
            assert_eq!(of(name, &own), expected, "{name}");
        }
    }

    #[test]
    fn what_is_compressed_already_has_no_compressed_files_beside_it() {
        for (media_type, expected) in [
            ("text/html; charset=utf-8", false),
            ("application/wasm", false),
            ("image/svg+xml", false),
            ("application/octet-stream", false),
            ("video/mp4", true),
            ("image/png", true),
            ("font/woff2", true),
            ("application/gzip ; x=y", true),
        ] {
            assert_eq!(is_compressed(media_type), expected, "{media_type}");
        }
    }
}
