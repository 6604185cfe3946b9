//! A request that somebody asks about, in words: to be explained, and not to be served.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// A request that somebody asks about.
#[derive(Debug, Clone)]
pub struct AskedRequest {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub uri: Uri,
    /// The URL's host, in lower case.
    pub host: String,
    /// The header fields.
    pub headers: HeaderMap,
}

impl AskedRequest {
    /// Reads a method, a whole URL, and header fields as `name:value`. The error says what was wrong, and what would do.
    pub fn parse(method: &str, url: &str, fields: &[String]) -> Result<Self, String> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("`{method}` is not a method; GET and POST are"))?;
        let uri: Uri = url.parse().map_err(|error| {
            format!("`{url}` is not a URL: {error}; it looks like http://shop.example/path")
        })?;
        let host = uri
            .host()
            .ok_or_else(|| format!("`{url}` names no host; a whole URL does: http://shop.example/path"))?;
        let host = host.to_ascii_lowercase();
        let mut headers = HeaderMap::new();
        for field in fields {
            let (name, value) = field
                .split_once(':')
                .ok_or_else(|| format!("`{field}` is not a header; it looks like name:value"))?;
            let name =
                HeaderName::try_from(name.trim()).map_err(|_| format!("`{name}` is not a header name"))?;
            let value = HeaderValue::from_str(value.trim())
                .map_err(|_| format!("`{value}` is not a header value"))?;
            headers.append(name, value);
        }
        Ok(Self { method, uri, host, headers })
    }
}
