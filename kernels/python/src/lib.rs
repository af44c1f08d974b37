//! The kernels as a Python module.
use pyo3::prelude::*;

/// The extension module `parkade.solver._kernel`.
#[pymodule]
fn _kernel(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
