//! Dense matrix products by cuBLAS, for row-major matrices.
//!
//! Where in the flow: the linear, LoRA and cross-entropy ops multiply through [`CudaDevice::multiply`].
//!
//! cuBLAS is column-major: it sees a row-major matrix as its transpose, so `C = A B` is computed as
//! `Cᵀ = Bᵀ Aᵀ`.
//!
//! **Invariant:** sums are f32, whatever the type of the factors; with f32 factors no tensor core is used.

#![expect(unsafe_code, reason = "calls of the driver with addresses of the device")]

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublas::{CudaBlas, result, sys};
use cudarc::driver::CudaStream;

use super::{CudaDevice, CudaError, Dtype, Tensor};

#[derive(Debug)]
pub(super) struct Blas(CudaBlas);

impl Blas {
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self, CudaError> {
        // SAFETY: it only tries to load the library.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoBlas);
        }
        CudaBlas::new(Arc::clone(stream)).map(Self).map_err(failed)
    }
}

fn failed(error: result::CublasError) -> CudaError {
    CudaError::Blas { status: format!("{:?}", error.0) }
}

/// A factor or the result of a product: `rows` rows, which start `stride` elements apart.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    tensor: Tensor,
    rows: usize,
    columns: usize,
    stride: usize,
    is_transposed: bool,
}

impl Operand {
    /// A whole tensor as a matrix.
    ///
    /// # Panics
    /// If its length is not `rows * columns`.
    pub fn new(tensor: Tensor, rows: usize, columns: usize) -> Self {
        assert_eq!(
            tensor.len(),
            rows * columns,
            "length of a tensor (left), {rows} rows of {columns} (right)"
        );
        Self { tensor, rows, columns, stride: columns, is_transposed: false }
    }

    /// Columns `first..first + columns` of a tensor whose rows have `stride` elements.
    ///
    /// # Panics
    /// If they are not inside the tensor.
    pub fn columns(tensor: Tensor, rows: usize, stride: usize, first: usize, columns: usize) -> Self {
        assert!(first + columns <= stride && rows * stride <= tensor.len(), "columns {first}.. of {stride}");
        Self { tensor: tensor.slice(first..tensor.len()), rows, columns, stride, is_transposed: false }
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn t(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }

    /// Rows and columns after transposition.
    fn shape(&self) -> (usize, usize) {
        if self.is_transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }

    fn operation(&self) -> sys::cublasOperation_t {
        if self.is_transposed {
            sys::cublasOperation_t::CUBLAS_OP_T
        } else {
            sys::cublasOperation_t::CUBLAS_OP_N
        }
    }

    fn data_type(&self) -> sys::cudaDataType {
        match self.tensor.dtype() {
            Dtype::F32 => sys::cudaDataType::CUDA_R_32F,
            Dtype::Bf16 => sys::cudaDataType::CUDA_R_16BF,
            Dtype::F16 => sys::cudaDataType::CUDA_R_16F,
            other => panic!("products of {other:?}"),
        }
    }
}

impl CudaDevice {
    /// `c = alpha a b + beta c`.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn multiply(
        &self,
        alpha: f32,
        a: Operand,
        b: Operand,
        beta: f32,
        c: Operand,
    ) -> Result<(), CudaError> {
        let ((m, k), (inner, n)) = (a.shape(), b.shape());
        assert_eq!(k, inner, "columns of a (left) and rows of b (right)");
        assert!(c.shape() == (m, n) && !c.is_transposed, "{m} by {n} into {:?}", c.shape());
        if m == 0 || n == 0 {
            return Ok(());
        }
        self.bind()?;
        let pointer = |operand: &Operand| operand.tensor.address as *const c_void;
        // SAFETY: shapes and strides were checked against the tensors when the operands were made.
        unsafe {
            result::gemm_ex(
                *self.blas.0.handle(),
                b.operation(),
                a.operation(),
                n as i32,
                m as i32,
                k as i32,
                (&raw const alpha).cast(),
                pointer(&b),
                b.data_type(),
                b.stride as i32,
                pointer(&a),
                a.data_type(),
                a.stride as i32,
                (&raw const beta).cast(),
                pointer(&c).cast_mut(),
                c.data_type(),
                c.stride as i32,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(failed)
    }
}
