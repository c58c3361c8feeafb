//! An axum route that returns a constant: what answering over HTTP costs before anything is looked up. It is served by a process of
//! its own, as orrery is.

use std::fs;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;

use crate::Outcome;

/// Where it is.
pub(crate) const PATH: &str = "/constant";
/// The variable that names the file with the constant.
pub(crate) const BODY_VARIABLE: &str = "ORRERY_BENCH_BODY";

/// Serves it on a port until the process is killed.
pub(crate) fn serve(port: u64) -> Outcome {
    let body = Bytes::from(fs::read(
        std::env::var_os(BODY_VARIABLE).ok_or("ORRERY_BENCH_BODY names no file")?,
    )?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", u16::try_from(port)?)).await?;
        let answer = async move || ([(header::CONTENT_TYPE, "application/json")], body.clone());
        axum::serve(listener, Router::new().route(PATH, get(answer))).await?;
        Ok(())
    })
}
