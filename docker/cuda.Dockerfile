# kdray with CUDA; torch's wheels bring their own CUDA libraries, the host needs the driver and the container toolkit:
#   docker build -f docker/cuda.Dockerfile -t kdray:cuda .
#   docker run --rm --gpus all --shm-size=1g -v "$PWD/store:/work/store" kdray:cuda kdray doctor
FROM python:3.12-slim
WORKDIR /work
COPY . /work
RUN pip install --no-cache-dir -c constraints.txt -e '.[sample]'
CMD ["kdray", "doctor"]
